// npm `eventsource`: prints every message as `E <last event id> <id of the event>`.
import { createRequire } from 'node:module';
const { EventSource } = createRequire(process.argv[3] + '/')('eventsource');
const source = new EventSource(process.argv[2]);
const print = (line) => process.stdout.write(line + '\n');
source.addEventListener('delta', (e) => print(`E ${e.lastEventId} ${JSON.parse(e.data).id}`));
source.addEventListener('busy', () => {});
source.onmessage = (e) => print(e.data ? `X ${e.data}` : 'EMPTY');
source.onerror = (e) => { if (source.readyState === 2) print(`X gave up: ${e.message}`); };
