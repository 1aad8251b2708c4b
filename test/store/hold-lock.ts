// A process that holds the lock of a directory until it is killed.
import { lockDirectory } from '../../src/store/directory-lock.ts'

const [directory = ''] = process.argv.slice(2)
lockDirectory(directory)
process.stdout.write('held\n')
setInterval(() => undefined, 1000)
