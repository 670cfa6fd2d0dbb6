/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
const upload = { method: 'PUT', url: 'https://files.example.com/a' };

example({ url: 'https://files.example.com/a' }).allows();
example({ ...upload, bodyBytes: 65_536 }).allows();
example({ ...upload, bodyBytes: 65_537 }).denies('65537 bytes');
example({ ...upload, bodyBytes: null }).denies('Content-Length');
for (let i = 0; i < 15; i++) example({ ...upload, bodyBytes: 65_536 }).allows();
example({ ...upload, bodyBytes: 1 }).denies('all for this sandbox');
example({ url: 'https://files.example.com/a' }).allows();
example.onMessage({ direction: 'sent', kind: 'text', text: 'x' }).denies('1048576');
example.onMessage({ direction: 'received', kind: 'text', text: 'x' }).passes();
