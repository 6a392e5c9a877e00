import assert from 'node:assert/strict';
import { layouts } from '../../lib/abi';
import { loadNative } from '../../lib/native';

describe('bpf/abi.h', () => {
  it('has the same layout for BPF, for C++ and for TypeScript', () => {
    assert.deepEqual(loadNative().abi, layouts);
  });
});
