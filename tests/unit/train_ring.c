/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: every byte in its order through memory much smaller than all of it, from a side that
 * hurries to one that dawdles and the other way round. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "save/ring_impl.h"
#include "test.h"

enum { SIZE = 64 * 100, PIECES = 20000 };
static char memory[SIZE];
static struct ring *ring;
static atomic_long between; /* bytes of memory that hold pieces, at least */
static atomic_long most;
static int nap; /* a side sleeps after every so many pieces; < 0: the one that takes */

/* Piece i: its length, and what its bytes are. */
static size_t length(unsigned i)
{
    const uint32_t x = i * 2654435761U;
    return i % 500 == 0 ? SIZE : 1 + (x >> 16) % (i % 3 ? 700 : 3000);
}
static unsigned char byte(unsigned i, size_t at) { return (unsigned char)(i * 31U + at * 7U); }

static void *put(void *unused)
{
    for (unsigned i = 0; i < PIECES; i++) {
        const size_t n = length(i);
        const size_t more = n + n / 3; /* what a piece needs only until it is published */
        unsigned char *p = ring_reserve(ring, more < SIZE ? more : SIZE);
        const long now = atomic_fetch_add(&between, (long)ring_room(n)) + (long)ring_room(n);
        if (now > most) most = now;
        for (size_t at = 0; at < n; at++) p[at] = byte(i, at);
        ring_publish(ring, n, (int)i % 7);
        if (nap > 0 && i % (unsigned)nap == 0) usleep(50);
    }
    ring_end(ring);
    return unused;
}

static bool right(unsigned i, const struct ring_piece *p)
{
    const unsigned char *b = p->p;
    bool ok = p->bytes == length(i) && p->tag == (int)i % 7 && ((char *)p->p - memory) % 64 == 0;
    for (size_t at = 0; ok && at < p->bytes; at++) ok = b[at] == byte(i, at);
    return ok;
}

static void through(const char *name, int slow)
{
    pthread_t other;
    struct ring_piece p;
    bool ok = true;
    unsigned n = 0;
    nap = slow;
    most = between = 0;
    ring_begin(ring);
    pthread_create(&other, NULL, put, NULL);
    for (; ring_take(ring, &p); n++) {
        ok &= right(n, &p);
        if (slow < 0 && n % (unsigned)-slow == 0) usleep(50);
        atomic_fetch_sub(&between, (long)ring_room(p.bytes));
        ring_give_back(ring);
    }
    pthread_join(other, NULL);
    CHECK(name, ok && n == PIECES && most <= SIZE && !ring_take(ring, &p));
}

/* More pieces than it has slots for wait too, though there would be memory. */
static void *put_many(void *arg)
{
    for (int i = 0; i < 10000; i++) {
        *(char *)ring_reserve(ring, 1) = (char)i;
        ring_publish(ring, 1, i);
    }
    ring_end(ring);
    return arg;
}
static void many(void)
{
    struct err e = {0};
    pthread_t other;
    struct ring_piece p;
    void *large = malloc(64 * 10000);
    bool ok = true;
    int n = 0;
    ring = ring_open(large, 64 * 10000, &e);
    ring_begin(ring);
    pthread_create(&other, NULL, put_many, NULL);
    usleep(20000); /* so that it fills up */
    for (; ring_take(ring, &p); n++) {
        ok &= p.bytes == 1 && p.tag == n && *(const char *)p.p == (char)n;
        ring_give_back(ring);
    }
    pthread_join(other, NULL);
    CHECK("ring: it takes more pieces than slots", ok && n == 10000);
    ring_close(ring);
    free(large);
}

int main(void)
{
    struct err e = {0};
    struct ring_piece p;
    ring = ring_open(memory, SIZE, &e);
    through("ring: side by side", 0);
    through("ring: the one that puts is slow", 100);
    through("ring: the one that takes is slow", -100);
    ring_begin(ring);
    ring_end(ring);
    CHECK("ring: an empty one has nothing to take", !ring_take(ring, &p));
    ring_close(ring);
    many();
    TEST_END();
}
