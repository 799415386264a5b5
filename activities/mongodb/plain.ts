import { BSON, type Document } from 'mongodb';

export type Plain = Readonly<Record<string, unknown>>;

/**
 * A document as JSON that keeps every type (canonical extended JSON), for what is put back exactly later. It must have
 * been read with `promoteValues: false`: a number has lost its type otherwise.
 */
export function toPlain(document: Document): Plain {
  return BSON.EJSON.serialize(document, { relaxed: false });
}

export function fromPlain(plain: Plain): Document {
  return BSON.EJSON.deserialize(plain, { relaxed: false }) as Document;
}
