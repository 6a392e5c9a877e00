import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { layouts } from '../../lib/abi';
import { native, requireRoot } from './support';

const { size, fields } = layouts.lb_translated;
const origin = layouts.lb_origin.fields;

/** The record of a UDP socket of this namespace, as an iterator would have written it. */
function recordOf(socket: dgram.Socket, cookie: bigint): Uint8Array {
  const record = Buffer.alloc(size);
  const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1];
  record.writeBigUInt64LE(cookie, fields['cookie'].offset);
  record.writeBigUInt64LE(native.netns().cookie, fields['netns'].offset);
  record.set(mapped, fields['origin'].offset + origin['backend'].offset);
  record.writeUInt16BE(socket.remoteAddress().port, fields['origin'].offset + origin['backend_port'].offset);
  record.set(mapped, fields['source'].offset);
  record.writeUInt16BE(socket.address().port, fields['source_port'].offset);
  record[fields['family'].offset] = 2;
  record[fields['protocol'].offset] = 17;
  return record;
}

describe('native destroySockets()', () => {
  before(function () {
    requireRoot(this);
  });

  it('destroys by netlink the socket with both ends and the cookie, and no other', async () => {
    const [server, socket] = [dgram.createSocket('udp4'), dgram.createSocket('udp4')];
    try {
      server.bind(0, '127.0.0.1');
      await once(server, 'listening');
      socket.connect(server.address().port, '127.0.0.1');
      await once(socket, 'connect');
      assert.equal(
        (await native.destroySockets(recordOf(socket, 1n))).length,
        0,
        'a socket with another cookie',
      );
      /* Of whatever cookie: INET_DIAG_NOCOOKIE. */
      const record = recordOf(socket, 0xffff_ffff_ffff_ffffn);
      const failed = once(socket, 'error') as Promise<[NodeJS.ErrnoException]>;
      const destroyed = await native.destroySockets(record);
      assert.deepEqual(Buffer.from(destroyed), Buffer.from(record));
      assert.equal((await failed)[0].code, 'ECONNABORTED');
    } finally {
      for (const one of [server, socket]) one.close();
    }
  });

  it('throws for what are no bytes', () => {
    assert.throws(() => native.destroySockets('' as unknown as Uint8Array), { name: 'TypeError' });
  });
});
