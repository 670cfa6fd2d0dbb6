/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
example({ url: 'https://registry.npmjs.org/@scope%2fname' }).allows();
example({ url: 'https://pypi.org/simple/requests/' }).allows();
example({ method: 'PUT', url: 'https://registry.npmjs.org/name', body: '{}' }).denies('no PUT');
example({ url: 'https://registry.npmjs.org/name', body: 'x' }).denies('no content');
example({ url: `https://pypi.org/simple/${'a'.repeat(200)}/` }).denies('longer than');
example({ url: `https://pypi.org/simple/a/?x=${'a'.repeat(100)}` }).denies('longer than');
example({ url: 'https://example.com/' }).denies('no package registry');
example.onResolve({ name: 'pypi.org' }).allows();
example.onResolve({ name: 'c2vjcmv0.pypi.org' }).denies();
example.onConnect({ host: 'pypi.org', port: 443 }).allows();
example.onConnect({ host: 'pypi.org', port: 80 }).denies('port 80');
example.onConnect({ address: '192.0.2.1', port: 443 }).denies();
