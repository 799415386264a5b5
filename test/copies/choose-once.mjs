// Tries how data can be copied, by the built code, in a process that a test kills: node choose-once.mjs SITE HOST COPIED
import { chooseCopy } from '../../dist/activities/copies/choose.js';
import { createRooms } from '../../dist/activities/system/rooms.js';

const [site, host, copied] = process.argv.slice(2);
await chooseCopy(JSON.parse(site), host, JSON.parse(copied), {
  ...{ dataBytes: 1, known: [], rooms: createRooms() },
});
