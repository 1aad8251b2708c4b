// For the command line, which knows the node only.
export { makeDirectory } from '../store/make-directory.ts'
