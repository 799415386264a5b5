import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { servicesAmong, toHold, toResource, type Resource } from '../../model/resource.ts';

const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,12}$/);
const member = fc.stringMatching(/^[a-z0-9.-]{1,12}:[0-9]{1,5}$/);
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`);
const resource: fc.Arbitrary<Resource> = fc.oneof(
  fc.record({ kind: fc.constant('service'), service: name }),
  fc.record({ kind: fc.constantFrom('balancer', 'settings'), database: name }),
  fc.record({ kind: fc.constant('snapshot'), database: name, member }),
  fc.record({ kind: fc.constant('data'), database: name, member }, { requiredKeys: ['kind', 'database'] }),
  fc.record({ kind: fc.constant('look'), path }),
);

describe('what a claim holds', () => {
  test('is read back from its name as what it was', () => {
    fc.assert(fc.property(resource, (one) => expect(toResource(toHold(one))).toEqual(one)));
  });

  test('of a kind that only a newer version knows is nothing', () => {
    expect(['', 'service', 'service/', 'volume/data', '/'].map(toResource)).toEqual(Array(5).fill(null));
    expect(servicesAmong(['balancer/db', 'service/web', 'volume/data', 'service/db/x'])).toEqual([
      'web',
      'db/x',
    ]);
  });
});
