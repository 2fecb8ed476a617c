// npm `@microsoft/fetch-event-source`, which dispatches a message at every blank line.
import { createRequire } from 'node:module';
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const require = createRequire(process.argv[3] + '/');
const { fetchEventSource } = require('@microsoft/fetch-event-source');
const print = (line) => process.stdout.write(line + '\n');
fetchEventSource(process.argv[2], {
  openWhenHidden: true,
  onmessage(e) {
    if (e.event === 'delta') print(`E ${e.id} ${JSON.parse(e.data).id}`);
    else if (e.event !== 'busy') print(e.data ? `X ${e.event} ${e.data}` : 'EMPTY');
  },
  onclose() { throw new Error('come back'); },
  onerror() {},
}).catch((e) => print(`X gave up: ${e.message}`));
