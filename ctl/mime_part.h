/* SPDX-License-Identifier: MIT */
/*
 * What the files of emailsec-mime.so have in common: texts and parts in the encodings that mail wants. Inside
 * that object only; the rest of the tool sees mime.h.
 */
#pragma once

#include "ctl/mime.h"

#include <gmime/gmime.h>

#define LONGEST_LINE 998 /* RFC 5322 2.1.1 */

/* A GObject pointer that is let go at the end of its scope. */
void unref_object(void *place);
#define owned __attribute__((cleanup(unref_object)))

/* For free(), as all that leaves this object. NULL stays NULL. */
char *own_copy(const char *text);

/* Text with CR LF line ends: what an encoded text part holds (RFC 2045, 6.7 and 6.8). */
GByteArray *with_crlf(const char *text, size_t len);
/* The encoding that makes these bytes short ASCII lines: as they are, quoted-printable when most is readable,
 * else base64. Quoted-printable cannot be used for text with stray CR or NUL without harm to readers. */
GMimeContentEncoding encoding_for(const guint8 *bytes, size_t len);
/* Gives a part the content of a stream, which is read when the part is written, in this encoding. */
void set_stream(GMimePart *part, GMimeStream *stream, GMimeContentEncoding encoding);
/* The same with bytes; the array is taken over. */
void set_content(GMimePart *part, GByteArray *bytes, GMimeContentEncoding encoding);
/* The same for text: in the encoding that fits it, with a charset where the part names none. */
void set_text(GMimePart *part, GByteArray *bytes);
