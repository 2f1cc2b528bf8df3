/*
# SPDX-License-Identifier: Apache-2.0
check.cjs MODULES DOCUMENT: what the AsyncAPI makers' parser says of a document, and what it understood, as JSON.
*/
const { Parser, fromFile } = require(process.argv[2] + "/@asyncapi/parser");
fromFile(new Parser(), process.argv[3]).parse().then(({ document, diagnostics }) => {
  const told = diagnostics.map(({ code, message, path, severity }) => ({ code, message, path, severity }));
  const channels = document ? document.channels().all().map((one) => [one.address(), one.messages().all().map((message) => message.id())]) : [];
  console.log(JSON.stringify({ diagnostics: told, channels: Object.fromEntries(channels), version: document && document.version() }));
});
