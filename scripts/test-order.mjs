// The order of the test files: those that take minutes first, so that none of them is left to run alone in the end.
// jest itself knows only how large a file is, where nothing was run before.
const longest = [
  ...['nights/every-night', 'faults/kill-points'],
  ...['faults/kill', 'restore/mongodb', 'cli/commands', 'faults/chaos', 'faults/last-lines'],
  ...['faults/watchdog', 'restore/files', 'drill/drill', 'restore/by-hand', 'stores/restic', 'stores/night'],
  ...['cli/decisions', 'drill/cli', 'mongodb/copy-by', 'faults/upgrade', 'client/client'],
];

export default class TestOrder {
  sort(tests) {
    return [...tests].sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1));
  }

  allFailedTests() {
    return [];
  }

  cacheResults() {}
}

function rank({ path }) {
  const place = longest.findIndex((name) => path.endsWith(`/test/${name}.test.ts`));
  return place === -1 ? longest.length : place;
}
