/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
const headers = {
  'Content-Type': 'application/json',
  'X-Account-Email': 'a@example.com',
  'Set-Cookie': ['a=1', 'b=2'],
};

example.onResponse({ headers }).rewrites({ headers: { 'X-Account-Email': 'redacted', 'Set-Cookie': null } });
example.onResponse({ headers: { ...headers, 'Content-Type': 'application/problem+json' } }).rewrites();
example.onResponse({ headers: { ...headers, 'Content-Type': 'text/html' } }).passes();
