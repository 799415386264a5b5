/** What a claim holds, and what a change alters. Nothing else is ever changed on a host. */
export type Resource =
  | { readonly kind: 'service'; readonly service: string }
  | { readonly kind: 'balancer'; readonly database: string }
  /** Of the balancer, as the data holds them: what a restored cluster brings with it. */
  | { readonly kind: 'settings'; readonly database: string }
  /** The copy of data at rest on its own host. */
  | CopyResource
  | DataResource;

/** Of MongoDB a member's data; of a tree of files all its roots, and no member. */
export interface CopyResource {
  readonly kind: 'snapshot';
  readonly database: string;
  readonly member?: string;
}

/** What a restore puts somewhere. */
export type DataResource =
  /** Of MongoDB a member's; of a tree of files all its roots, and no member. */
  | { readonly kind: 'data'; readonly database: string; readonly member?: string }
  /** Where nothing is yet, to be looked at. */
  | { readonly kind: 'look'; readonly path: string };

/**
 * As claims, plans and journals name it: `service/<name>`, `balancer/<database>`, `settings/<database>`,
 * `snapshot/<database>[/<member>]`, `data/<database>[/<member>]`, `look/<path>`. Read back by {@link toResource}.
 */
export function toHold(resource: Resource): string {
  switch (resource.kind) {
    case 'service':
      return `service/${resource.service}`;
    case 'balancer':
    case 'settings':
      return `${resource.kind}/${resource.database}`;
    case 'snapshot':
    case 'data':
      return `${resource.kind}/${copyKey(resource)}`;
    case 'look':
      return `look/${resource.path}`;
  }
}

export function copyOf({ database, member }: Omit<CopyResource, 'kind'>): CopyResource {
  return { kind: 'snapshot', database, ...(member !== undefined && { member }) };
}

/** `<database>[/<member>]` */
export function copyKey({
  database,
  member,
}: {
  readonly database: string;
  readonly member?: string;
}): string {
  return member === undefined ? database : `${database}/${member}`;
}

/** null: of a kind that is not known here, as a newer version may name. */
export function toResource(hold: string): Resource | null {
  const { kind = '', name = '' } = /^(?<kind>[a-z]+)\/(?<name>.+)$/s.exec(hold)?.groups ?? {};
  const [database = '', ...rest] = name.split('/');
  const member = rest.join('/');
  switch (kind) {
    case 'service':
      return { kind, service: name };
    case 'balancer':
    case 'settings':
      return { kind, database: name };
    case 'snapshot':
    case 'data':
      return { kind, database, ...(member !== '' && { member }) };
    case 'look':
      return { kind, path: name };
    default:
      return null;
  }
}

/** Of what a restore puts somewhere: in place of the data, or beside everything, at `to`. */
export function restoredAs(target: {
  readonly database: string;
  readonly member?: string;
  readonly to?: string;
}): DataResource {
  const { database, member, to } = target;
  if (to !== undefined) return { kind: 'look', path: to };
  return { kind: 'data', database, ...(member !== undefined && { member }) };
}

/** The services among holds. */
export function servicesAmong(holds: readonly string[]): readonly string[] {
  return holds.flatMap((hold) => {
    const resource = toResource(hold);
    return resource?.kind === 'service' ? [resource.service] : [];
  });
}
