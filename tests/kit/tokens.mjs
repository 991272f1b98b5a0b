// Tokens that everline would never mint, signed with the keys of a data directory.
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One segment of a token. */
export const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const es256 = (input, key) => sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');

export class Forge {
  constructor(data, tenant = 'dev') {
    const directory = join(data.directory, 'keys', tenant, 'tokens');
    const [file] = readdirSync(directory).sort();
    this.kid = file.split('.')[0];
    this.pem = readFileSync(join(directory, file), 'utf8');
    this.key = createPrivateKey(this.pem);
    this.publicPem = createPublicKey(this.key).export({ type: 'spki', format: 'pem' });
    this.tenant = tenant;
  }

  header(changes = {}) { return { alg: 'ES256', typ: 'JWT', kid: this.kid, ...changes }; }

  claims(changes = {}) {
    const now = Math.floor(Date.now() / 1000);
    return { iss: 'everline', aud: 'everline', tenant: this.tenant, scope: 'data:read', iat: now,
      exp: now + 600, ...changes };
  }

  /** Signs whatever it is given; strings are taken as they are. */
  token({ header = {}, claims = {}, key = this.key } = {}) {
    const head = typeof header === 'string' ? header : this.header(header);
    const body = typeof claims === 'string' ? claims : this.claims(claims);
    const input = `${part(head)}.${part(body)}`;
    return `${input}.${es256(input, key)}`;
  }

  /** The classic: HMAC with the public key's text as secret. */
  confused(secret = this.publicPem) {
    const input = `${part(this.header({ alg: 'HS256' }))}.${part(this.claims())}`;
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  }

  /** The signature of a good token as OpenSSL writes it: DER. */
  der() { return sign('sha256', Buffer.from(`${part(this.header())}.${part(this.claims())}`), this.key); }

  jwk() { return createPublicKey(this.key).export({ format: 'jwk' }); }

  unsigned(alg = 'none') { return `${part(this.header({ alg }))}.${part(this.claims())}.`; }

  static strangersKey() { return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey; }
}
