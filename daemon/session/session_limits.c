/* SPDX-License-Identifier: MIT */
/* Counting sessions in all and at each server; see session_limits.h. */
#include "daemon/session/session_limits.h"

struct host {
        char *name;
        /* `links`: sessions that hold the name, open or waiting for a place. The entry lives as long as one
         * does. */
        unsigned open, links;
        struct host_line line;
        struct host *next; /* in its bucket */
};
enum { BUCKETS = 1024 };

/* Until the settings are read. The loop's alone; no lock. */
static struct {
        struct host *hosts[BUCKETS];
        unsigned open, most, most_per_host;
} places = { .most = 2000, .most_per_host = 64 };

/* A smaller limit closes nothing: sessions that are open end by themselves, and no new one begins before. */
void sessions_set_limits(unsigned all, unsigned per_host)
{
        places.most = all;
        places.most_per_host = per_host;
}

unsigned sessions_open(void)
{
        return places.open;
}

static struct host **host_place(const char *name)
{
        struct host **place = &places.hosts[text_hash(name) % BUCKETS];

        while (*place && strcmp((*place)->name, name) != 0)
                place = &(*place)->next;
        return place;
}

/* Names as they stand in the settings, without regard to what they resolve to: two names of one server are
 * two servers here. */
struct host *session_host_hold(const char *name)
{
        struct host **place = host_place(name);

        if (!*place) {
                *place = new_object(struct host);
                (*place)->name = copy_text(name);
        }
        (*place)->links++;
        return *place;
}

void session_host_release(struct host *host)
{
        if (--host->links)
                return;
        *host_place(host->name) = host->next;
        free(host->name);
        free(host);
}

bool session_places_all_taken(void)
{
        return places.open >= places.most;
}

unsigned session_places_at_host(void)
{
        return places.most_per_host;
}

/* Never below 0, also after a limit was lowered beneath what is open. */
unsigned session_places_left_at(const struct host *host)
{
        return host->open < places.most_per_host ? places.most_per_host - host->open : 0;
}

unsigned session_places_left(const char *name)
{
        const struct host *host = *host_place(name);
        unsigned here = host ? session_places_left_at(host) : places.most_per_host;
        unsigned all = places.open < places.most ? places.most - places.open : 0;

        return here < all ? here : all;
}

struct host_line *session_host_line(struct host *host)
{
        return &host->line;
}

void session_hosts_each(void (*each)(struct host *host))
{
        for (size_t i = 0; i < BUCKETS; i++)
                for (struct host *host = places.hosts[i]; host; host = host->next)
                        each(host);
}

bool session_place_is_free(const struct host *host)
{
        return !session_places_all_taken() && host->open < places.most_per_host;
}

void session_place_take(struct host *host)
{
        places.open++;
        host->open++;
}

void session_place_give_back(struct host *host)
{
        places.open--;
        host->open--;
}
