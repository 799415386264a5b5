import { connect } from 'node:net';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { freePort } from './ports.ts';
import { startProcess, waitFor } from './processes.ts';
import { commandOf } from './programs.ts';

const answersWithinMs = 120_000;

/** Private in the SDK, whose `createFromExistingServer` cannot skip time. */
const sdk = TestWorkflowEnvironment as unknown as {
  create(options: {
    readonly server: { readonly type: 'existing' };
    readonly address: string;
    readonly supportsTimeSkipping: true;
  }): Promise<TestWorkflowEnvironment>;
};

export interface TestServer {
  readonly env: TestWorkflowEnvironment;
  close(): Promise<void>;
}

/**
 * Temporal's time-skipping test server, of the set-up. The SDK would start it itself, and give it 5 s to answer, which
 * a busy machine needs for Java alone: hence a process of our own, and the one way to hand it to the SDK.
 */
export async function startTestServer(): Promise<TestServer> {
  const port = await freePort();
  const server = await startProcess([...commandOf('test-server'), `${port}`]);
  try {
    await waitFor(() => answers(port), {
      what: 'the test server',
      withinMs: answersWithinMs,
      unless: () => (server.exit() === undefined ? undefined : 'it has ended'),
    });
    const env = await sdk.create({
      server: { type: 'existing' },
      address: `127.0.0.1:${port}`,
      supportsTimeSkipping: true,
    });
    return {
      env,
      async close() {
        await env.teardown();
        await server.stop();
      },
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
      .once('connect', () => {
        socket.destroy();
        resolve(true);
      })
      .once('error', () => {
        resolve(false);
      });
  });
}
