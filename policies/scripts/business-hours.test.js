/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
const change = { method: 'POST', url: 'https://api.production.example.com/deploy' };

example.at('2026-01-05T09:00:00Z'); // A Monday.
example(change).allows();
example.at('2026-01-05T08:59:59Z');
example(change).denies('9 to 17');
example.at('2026-01-09T16:59:59Z'); // A Friday.
example(change).allows();
example.at('2026-01-09T17:00:00Z');
example(change).denies();
example.at('2026-01-10T12:00:00Z'); // A Saturday.
example(change).denies();
example({ ...change, method: 'GET' }).allows();
example({ ...change, url: 'https://api.staging.example.com/deploy' }).allows();
