module example
require a v1
