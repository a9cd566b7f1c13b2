#!/bin/sh
exec echo serving "$@"
