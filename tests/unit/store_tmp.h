/* What the tests of lib/store share: a directory of their own, small helpers for rows and files. */
#ifndef RANKD_TESTS_UNIT_STORE_TMP_H
#define RANKD_TESTS_UNIT_STORE_TMP_H

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A fresh directory below $TMPDIR; removed by tmp_remove. */
static inline void tmp_make(char dir[256]) {
    const char *base = getenv("TMPDIR");
    snprintf(dir, 256, "%s/rankd-unit-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(dir)) abort();
}

/* Removes the files of a directory, not the directory. */
static inline void tmp_clear(const char *dir) {
    DIR *d = opendir(dir);
    if (!d) return;
    struct dirent *f;
    while ((f = readdir(d)) != NULL) {
        if (f->d_name[0] != '.') (void)unlinkat(dirfd(d), f->d_name, 0);
    }
    closedir(d);
}

static inline void tmp_remove(const char *dir) {
    tmp_clear(dir);
    (void)rmdir(dir);
}

/* The whole file, to be freed; NULL when it cannot be read. One byte more is allocated. */
static inline char *tmp_read(const char *path, size_t *n) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    struct stat st;
    char *p = NULL;
    if (fstat(fd, &st) == 0 && (p = malloc((size_t)st.st_size + 1)) != NULL) {
        ssize_t got = read(fd, p, (size_t)st.st_size);
        if (got != st.st_size) {
            free(p);
            p = NULL;
        } else {
            *n = (size_t)got;
        }
    }
    close(fd);
    return p;
}

static inline void tmp_write(const char *path, const void *p, size_t n) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n || close(fd) != 0) abort();
}

/* Turns the given bits of one byte of a file. */
static inline void tmp_flip(const char *path, long at, unsigned char bits) {
    unsigned char c;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || pread(fd, &c, 1, at) != 1) abort();
    c ^= bits;
    if (pwrite(fd, &c, 1, at) != 1 || close(fd) != 0) abort();
}

#endif
