/* rankctl load: how far a file was loaded, kept beside it as FILE.rankd-load until it is done. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/ctl_load.h"
#include "daemon/rotation.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"

#define EVERY_NS UINT64_C(1000000000)

/* Ids tell the lines of this file from those of any other, and are the same in every run: by its name and size. */
static void name_ids(struct load *l, const char *name, uint64_t size) {
    char text[512];
    int n = snprintf(text, sizeof text, "%s:%" PRIu64, name, size);
    size_t bytes = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    snprintf(l->prefix, sizeof l->prefix, "load-%016" PRIx64 "-", hash64(text, bytes, 0));
}

/* The fingerprint of a regular file; empty for others. */
static void take_print(struct load *l) {
    struct rotation_print p;
    l->print[0] = '\0';
    int fd = open(l->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (rotation_print(fd, &p, NULL) == 0) rotation_write(0, &p, l->print);
    close(fd);
}

static bool still_this_file(const struct load *l, const char *print) {
    struct rotation_print p;
    uint64_t base;
    int fd = open(l->path, O_RDONLY | O_CLOEXEC);
    bool same = fd >= 0 && rotation_parse(print, &base, &p) && rotation_matches(fd, &p);
    if (fd >= 0) close(fd);
    return same;
}

static int read_state(struct load *l, struct load_place *from) {
    char text[1024], print[64];
    struct jdoc *j = NULL;
    FILE *f = fopen(l->state_path, "re");
    if (!f) return CTL_DONE; /* nothing was begun */
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    int rc = CTL_BAD_USE;
    if (jdoc_parse(slice_of(text, n), &j, NULL) < 0) {
        ctl_say("%s is damaged: remove it to load from the start", l->state_path);
        return rc;
    }
    struct jdoc_value s = jdoc_root(j);
    struct slice prefix = jdoc_text(jdoc_get(s, "ids"), "");
    ctl_clean(print, sizeof print, jdoc_text(jdoc_get(s, "print"), ""));
    if (!still_this_file(l, print) || prefix.n == 0 || prefix.n >= sizeof l->prefix) {
        ctl_say("%s is not the file that was being loaded: remove %s to load it from the start", l->path,
                l->state_path);
    } else {
        memcpy(l->prefix, prefix.p, prefix.n + 1);
        from->offset = (uint64_t)jdoc_integer(jdoc_get(s, "offset"), 0);
        from->line = (uint64_t)jdoc_integer(jdoc_get(s, "line"), 1);
        rc = CTL_DONE;
    }
    jdoc_free(j);
    return rc;
}

int load_state_begin(struct load *l, struct load_place *from) {
    const char *slash = strrchr(l->path, '/');
    struct stat st;
    *from = (struct load_place){0, 1};
    l->keep_state = false;
    l->state_ns = 0;
    if (strcmp(l->path, "-") == 0 || stat(l->path, &st) != 0 || !S_ISREG(st.st_mode)) {
        char unique[64]; /* a pipe has neither name nor size: its lines are those of this run */
        snprintf(unique, sizeof unique, "-%" PRId64 "-%d", clock_wall_ms(), (int)getpid());
        name_ids(l, unique, 0);
        if (!l->o->resume) return CTL_DONE;
        ctl_say("--resume needs a file: %s is none", l->path);
        return CTL_BAD_USE;
    }
    name_ids(l, slash ? slash + 1 : l->path, (uint64_t)st.st_size);
    take_print(l);
    int n = snprintf(l->state_path, sizeof l->state_path, "%s.rankd-load", l->path);
    l->keep_state = n > 0 && (size_t)n + 8 < sizeof l->state_path && l->print[0];
    return l->o->resume && l->keep_state ? read_state(l, from) : CTL_DONE;
}

void load_state_write(struct load *l, struct load_place next) {
    uint64_t now = clock_steady_ns();
    char temporary[sizeof l->state_path + 8];
    if (!l->keep_state || (l->state_ns && now - l->state_ns < EVERY_NS && !load_interrupted)) return;
    l->state_ns = now;
    snprintf(temporary, sizeof temporary, "%s.new", l->state_path);
    FILE *f = fopen(temporary, "we");
    bool ok = f && fprintf(f, "{\"offset\":%" PRIu64 ",\"line\":%" PRIu64 ",\"ids\":\"%s\",\"print\":\"%s\"}\n",
                           next.offset, next.line, l->prefix, l->print) > 0;
    if (f && fclose(f) != 0) ok = false;
    if (ok && rename(temporary, l->state_path) == 0) return;
    load_clear_line(l);
    ctl_say("%s cannot be written (%s): this load could not be resumed", l->state_path, strerror(errno));
    l->keep_state = false;
}

void load_state_done(struct load *l) {
    if (l->keep_state) (void)unlink(l->state_path);
}
