/// <reference path="../../types/policy-script.d.ts" />
// @ts-check
const api = 'https://api.github.com';
const repository = 'https://github.com/o/r.git';

example({ url: `${api}/repos/o/r/issues?state=open` }).allows();
example({ method: 'HEAD', url: `${api}/user` }).allows();
example({ method: 'POST', url: `${api}/repos/o/r/issues`, body: '{}' }).denies('no POST');
example({ method: 'POST', url: `${api}/graphql`, body: '{}' }).denies('read only');
example({ method: 'DELETE', url: `${api}/repos/o/r` }).denies('no DELETE');

example({ url: `${repository}/info/refs?service=git-upload-pack` }).allows();
example({ method: 'POST', url: `${repository}/git-upload-pack`, body: '0000' }).allows();
example({ url: `${repository}/info/refs?service=git-receive-pack` }).denies('no push');
example({ method: 'POST', url: `${repository}/git-receive-pack`, body: '0000' }).denies('no push');
example({ method: 'POST', url: 'https://github.com/session', body: 'x' }).denies('no POST');
example({ url: 'https://raw.githubusercontent.com/o/r/main/README.md' }).allows();
