/* A QEMU plugin (API version 1: QEMU 4.2 to 8.x) that counts, between two marks, how often each
 * translated block of a guest runs, and the misses of the caches that see its memory accesses.
 *
 * The guest marks with a system call that does not exist: syscall(0x7eed, 1, label) starts a
 * region, syscall(0x7eed, 2, label) ends it. Options: out=FILE, and cache=BYTES:WAYS for each
 * level of cache to simulate, the inner one first (lines of 64 bytes, least recently used, kept up
 * to date outside regions too).
 *
 * FILE has a JSON object a line for each region that ended: "label", "memory": accesses, misses of
 * three levels, and how many of the last level's came one line after another one; "blocks":
 * [[the instructions' bytes in hexadecimal, runs], ...].
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MARK 0x7eed
#define LINE_BITS 6
#define STREAMS 16

/* QEMU's plugin interface, as its documentation states it. */
typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_syscall_cb(plugin_id,
    void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
             uint64_t, uint64_t, uint64_t));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *,
    void (*)(unsigned, uint32_t, uint64_t, void *), int, int, void *);

EXPORT int qemu_plugin_version = 1;

struct block {
    uint64_t address, runs, runs_before;
    size_t bytes;
    struct block *next;
    uint8_t code[];
};

#define BUCKETS 65536
static struct block *buckets[BUCKETS];
static FILE *out;

struct cache {
    size_t sets, ways;
    uint64_t *lines; /* sets x ways, most recent first */
};
#define LEVELS 3
static struct cache caches[LEVELS];
static int levels;
static uint64_t accesses, misses[LEVELS], sequential, start[LEVELS + 2];
static uint64_t streams[STREAMS];
static unsigned oldest;

static void fail(const char *what)
{
    fprintf(stderr, "g4nas counter: %s\n", what);
    exit(3);
}

static int missed(struct cache *cache, uint64_t line)
{
    uint64_t *set = cache->lines + (line % cache->sets) * cache->ways, tag = line + 1;
    size_t way = 0;
    while (way < cache->ways && set[way] != tag)
        way++;
    int miss = way == cache->ways;
    if (miss)
        way--;
    for (; way > 0; way--)
        set[way] = set[way - 1];
    set[0] = tag;
    return miss;
}

static void accessed(unsigned cpu, uint32_t info, uint64_t address, void *data)
{
    (void)cpu, (void)info, (void)data;
    uint64_t line = address >> LINE_BITS;
    accesses++;
    if (caches->lines[(line % caches->sets) * caches->ways] == line + 1)
        return;
    for (int i = 0; i < levels; i++) {
        if (!missed(&caches[i], line))
            return;
        misses[i]++;
    }
    for (unsigned i = 0; i < STREAMS; i++)
        if (line == streams[i] + 1) {
            streams[i] = line;
            sequential++;
            return;
        }
    streams[oldest++ % STREAMS] = line;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    uint8_t code[4096];
    size_t bytes = 0, count = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t size = qemu_plugin_insn_size(insn);
        if (bytes + size > sizeof code)
            fail("a translated block of more than 4096 bytes");
        memcpy(code + bytes, qemu_plugin_insn_data(insn), size);
        bytes += size;
        if (levels)
            qemu_plugin_register_vcpu_mem_cb(insn, accessed, 0, 3, NULL);
    }
    uint64_t address = qemu_plugin_tb_vaddr(tb);
    struct block **bucket = &buckets[(address >> 2) % BUCKETS], *block = *bucket;
    while (block && (block->address != address || block->bytes != bytes ||
                     memcmp(block->code, code, bytes)))
        block = block->next;
    if (!block) {
        block = calloc(1, sizeof *block + bytes);
        if (!block)
            fail("out of memory");
        block->address = address;
        block->bytes = bytes;
        block->next = *bucket;
        memcpy(block->code, code, bytes);
        *bucket = block;
    }
    qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &block->runs, 1);
}

static void started(void)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct block *block = buckets[i]; block; block = block->next)
            block->runs_before = block->runs;
    uint64_t now[] = {accesses, misses[0], misses[1], misses[2], sequential};
    memcpy(start, now, sizeof now);
}

static void ended(uint64_t label)
{
    uint64_t now[] = {accesses, misses[0], misses[1], misses[2], sequential};
    const char *comma = "";
    fprintf(out, "{\"label\": %" PRIu64 ", \"memory\": [", label);
    for (size_t i = 0; i < sizeof now / sizeof *now; i++, comma = ", ")
        fprintf(out, "%s%" PRIu64, comma, now[i] - start[i]);
    fputs("], \"blocks\": [", out);
    comma = "";
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct block *block = buckets[i]; block; block = block->next) {
            if (block->runs == block->runs_before)
                continue;
            fprintf(out, "%s[\"", comma);
            for (size_t b = 0; b < block->bytes; b++)
                fprintf(out, "%02x", block->code[b]);
            fprintf(out, "\", %" PRIu64 "]", block->runs - block->runs_before);
            comma = ", ";
        }
    fputs("]}\n", out);
    if (fflush(out))
        fail("cannot write the counts: disk full?");
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t what, uint64_t label,
                   uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == MARK && what == 1)
        started();
    else if (number == MARK && what == 2)
        ended(label);
}

static void make(const char *text)
{
    if (levels == LEVELS)
        fail("at most three levels of cache");
    struct cache *cache = &caches[levels];
    size_t bytes;
    if (sscanf(text, "%zu:%zu", &bytes, &cache->ways) != 2 || !cache->ways)
        fail("a cache is given as BYTES:WAYS");
    cache->sets = (bytes >> LINE_BITS) / cache->ways;
    cache->lines = cache->sets ? calloc(cache->sets * cache->ways, sizeof *cache->lines) : NULL;
    if (!cache->lines)
        fail("a cache must have at least one set");
    levels++;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
        else if (!strncmp(argv[i], "cache=", 6))
            make(argv[i] + 6);
        else
            fail("unknown option");
    }
    if (!out)
        fail("out=FILE must be given and writable");
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
