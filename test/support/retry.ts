/**
 * A shared machine stops a process for longer than any deadline of a test foresees. In CI a test that failed is run
 * again, twice at most, and its failure is printed all the same; at a desk it fails at once.
 */
if (process.env.CI === 'true') jest.retryTimes(2, { logErrorsBeforeRetry: true });
