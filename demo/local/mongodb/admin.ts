import { MongoClient, type Db, type Document } from 'mongodb';
import { acceptsConnections, type Member, type Server } from './server.ts';

export interface Credentials {
  user: string;
  password: string;
}

/** Where a server is asked: without credentials, with a user's, or with the key that the members share. */
export function directUri(port: number, credentials?: Credentials): string {
  return `mongodb://${userinfo(credentials)}127.0.0.1:${port}/?directConnection=true`;
}

/** The user of a connection string, up to and including the @; empty without credentials. */
export function userinfo(credentials?: Credentials): string {
  if (!credentials) return '';
  return `${encodeURIComponent(credentials.user)}:${encodeURIComponent(credentials.password)}@`;
}

/** Runs `work` against the `admin` database of what a connection string leads to. */
export async function withAdmin<T>(uri: string, work: (admin: Db) => Promise<T>): Promise<T> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 10_000 });
  try {
    return await work(client.db('admin'));
  } finally {
    await client.close();
  }
}

/** What a server says of itself; it needs no credentials. Throws at once when nothing listens. */
export async function hello(server: Server): Promise<Document> {
  if (!(await acceptsConnections(server.port))) throw new Error(`${server.name} accepts no connection`);
  return await withAdmin(directUri(server.port), (admin) => admin.command({ hello: 1 }));
}

/** The member that says it accepts writes, or undefined; members that do not answer are passed over. */
export async function findPrimary(members: readonly Member[]): Promise<Member | undefined> {
  const answers = await Promise.allSettled(members.map(hello));
  return members.find((_, index) => {
    const answer = answers[index];
    return answer?.status === 'fulfilled' && answer.value['isWritablePrimary'] === true;
  });
}

/** Creates the first user, by the localhost exception; does not wait until the other members have it. */
export function createRoot(admin: Db, { user, password }: Credentials): Promise<Document> {
  return admin.command({ createUser: user, pwd: password, roles: ['root'], writeConcern: { w: 1 } });
}
