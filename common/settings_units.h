/* settings_units - numbers of the conf file with their units: "1.5h", "64KiB", "70%".
 * Pure.  Thread: any. */
#ifndef COMMON_SETTINGS_UNITS_H
#define COMMON_SETTINGS_UNITS_H

#include "common/settings_keys.h"

/* Read a number of a type, with a unit of that type, in base units (ns, bytes, plain).
 * -1: text is no such number. */
NODISCARD int units_parse(enum key_type, const char *text, double *out);

/* Append a number of base units as units_parse() reads it: 3.6e12 as "1h", 65536 as
 * "64KiB". */
void units_format(enum key_type, double value, struct strbuf *);

#endif
