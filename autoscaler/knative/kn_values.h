/* kn_values - texts of annotations and ConfigMaps as Go reads them there: durations, numbers,
 * booleans, quantities.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_VALUES_H
#define AUTOSCALER_KNATIVE_KN_VALUES_H

#include "common/base.h"

/* Each returns 0, or -1: text is no such value, and *out is as before. */

/* strconv.ParseBool: 1, t, T, true, True, TRUE, and likewise for false. */
NODISCARD int kn_value_bool(const char *text, bool *out);
/* strconv.ParseInt of base 10: a sign and digits. */
NODISCARD int kn_value_int(const char *text, int64_t min, int64_t max, int64_t *out);
/* strconv.ParseFloat, but for hexadecimal numbers, infinity and NaN. */
NODISCARD int kn_value_number(const char *text, double *out);
/* time.ParseDuration: "1h30m", "1.5s", "0". */
NODISCARD int kn_value_duration(const char *text, int64_t *ns);

/* resource.ParseQuantity: "100m", "1.5Gi", "2e3". */
NODISCARD int kn_value_quantity(const char *text, double *out);

#endif
