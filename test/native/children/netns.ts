import { native } from '../support';

const { cookie, inode } = native.netns();
process.stdout.write(`${cookie} ${inode}`);
