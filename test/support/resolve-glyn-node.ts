// `node --import` this: in programs of documents `glyn-node` is this checkout, as it would be the installed package.
import { installPluginResolution } from '../../src/plugin/resolve-hook.ts'

installPluginResolution()
