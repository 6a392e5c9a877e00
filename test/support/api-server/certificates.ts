import { readFileSync } from 'node:fs';
import path from 'node:path';

import { run } from '../cluster/shell';

/** A certificate and its key, as PEM. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** An authority, and the identities of a server and of a client that it vouches for. */
export interface Certificates {
  readonly ca: string;
  readonly server: Identity;
  readonly client: Identity;
}

/** Makes certificates that hold for a day. The files that openssl(1) needs for it stay in `directory`. */
export function makeCertificates(directory: string, addresses: readonly string[]): Certificates {
  const make = (name: string, ...options: string[]): Identity => {
    const [key, cert] = ['key', 'crt'].map((type) => path.join(directory, `${name}.${type}`)) as [
      string,
      string,
    ];
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-keyout', key];
    run(['openssl', 'req', '-x509', '-days', '1', ...newKey, '-out', cert, ...options]);
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  };
  const { cert: ca } = make('ca', '-subj', '/CN=authority');
  const signed = ['-CA', path.join(directory, 'ca.crt'), '-CAkey', path.join(directory, 'ca.key')];
  const leaf = [...signed, '-addext', 'basicConstraints=critical,CA:FALSE'];
  const names = addresses.map((address) => `IP:${address}`).join();
  return {
    ca,
    server: make('server', '-subj', '/CN=kube-apiserver', ...leaf, '-addext', `subjectAltName=${names}`),
    client: make('client', '-subj', '/O=system:nodes/CN=system:kube-proxy', ...leaf),
  };
}
