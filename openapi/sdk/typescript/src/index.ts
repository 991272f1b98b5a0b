import { createClient, createConfig, type Client } from './generated/client/index.js';

export * from './generated/index.js';
export * from './generated/codes.gen.js';
export type { Client } from './generated/client/index.js';

/** A client of one server. `token`: a JWT, or what gives one whenever a request needs it. */
export function connect(baseUrl: string, token?: string | (() => string | Promise<string>)): Client {
  return createClient(createConfig({
    baseUrl,
    auth: typeof token === 'function' ? async () => token() : token,
    querySerializer: { object: { style: 'form', explode: true } }, /* a rollup's dimensions */
  }));
}

interface Page<Item> {
  items: Array<Item>;
  next: string | null;
}

/** Every item of a list, page after page. `read` is asked for the page at a cursor and throws what is
 *  wrong: (cursor) => listVersions({ client, path, query: { cursor }, throwOnError: true }) */
export async function* all<Item>(
  read: (cursor: string | undefined) => Promise<{ data: Page<Item> }>,
): AsyncGenerator<Item, void, undefined> {
  let cursor: string | undefined;
  do {
    const { data } = await read(cursor);
    yield* data.items;
    cursor = data.next ?? undefined;
  } while (cursor !== undefined);
}
