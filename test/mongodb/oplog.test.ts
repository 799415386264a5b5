import { describe, expect, test } from '@jest/globals';
import { foreignWrites } from '../../activities/mongodb/oplog.ts';

/** As an idle cluster of 7.0 was seen to write it when another config server was elected. */
const setAgain = (validator: object, before: object) => ({
  op: 'c',
  ns: 'config.$cmd',
  o: { collMod: 'settings', validator, validationLevel: 'strict', validationAction: 'error' },
  o2: { collectionOptions_old: { validator: before } },
});

describe('what counts as a write of somebody', () => {
  test('a new primary of the config servers that sets the validator of config.settings again is nobody', () => {
    const validator = () => ({ $jsonSchema: { oneOf: [{ properties: { _id: { enum: ['balancer'] } } }] } });
    expect(foreignWrites(setAgain(validator(), validator()))).toEqual([]);
  });

  test('another validator of config.settings, and a document in it, are somebody', () => {
    expect(foreignWrites(setAgain({}, { $jsonSchema: {} }))).toHaveLength(1);
    expect(foreignWrites({ op: 'u', ns: 'config.settings', o: {} })).toHaveLength(1);
  });
});
