const pattern = /^bl-(\d+)-/;
let count = 0;

/** A name that tells which process made the thing, and that nothing else on the machine has. */
export function uniqueName(label: string): string {
  return `bl-${process.pid}-${++count}-${label}`;
}

/** Whether the thing is one of ours and its maker is gone. */
export function isStale(name: string): boolean {
  const pid = Number(pattern.exec(name)?.[1]);
  if (!pid) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
