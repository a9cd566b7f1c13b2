FROM busybox
COPY . /c
RUN test ! -e /c/only-for-app && test -e /c/only-for-others
