import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { folders, onPath, versions } from '../components.mjs';
import { installPackages } from './apt.mjs';
import { fillFolder } from './cache.mjs';
import { run } from './run.mjs';

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>coldbackup</groupId>
  <artifactId>test-server</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>io.temporal</groupId>
      <artifactId>temporal-test-server</artifactId>
      <version>${versions.testServer}</version>
    </dependency>
  </dependencies>
</project>
`;

// The SDK gives it five seconds to answer, and each test file starts one: a quick start counts more than peak speed.
const wrapper = `#!/bin/sh
exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$(dirname "$(readlink -f "$0")")/lib/*" \\
  io.temporal.testserver.TestServer "$@"
`;

/** Temporal's time-skipping test server, from the Java SDK. */
export async function installTestServer() {
  await installPackages([
    ...(onPath('java') ? [] : ['default-jre-headless']),
    ...(onPath('mvn') ? [] : ['maven']),
  ]);
  await fillFolder(folders.testServer, async (folder) => {
    writeFileSync(join(folder, 'pom.xml'), pom);
    await run(
      [
        'mvn',
        '--batch-mode',
        'dependency:copy-dependencies',
        '-DincludeScope=runtime',
        `-DoutputDirectory=${join(folder, 'lib')}`,
      ],
      {
        cwd: folder,
        hint: 'it needs a repository of Maven artifacts; or set COLDBACKUP_TEST_SERVER to a test server',
      },
    );
    writeFileSync(join(folder, 'temporal-test-server'), wrapper);
    chmodSync(join(folder, 'temporal-test-server'), 0o755);
  });
}
