/* kn_handlers - which handler each kind has. */
#ifndef AUTOSCALER_KNATIVE_KN_HANDLERS_H
#define AUTOSCALER_KNATIVE_KN_HANDLERS_H

#include "autoscaler/knative/kn.h"

extern const struct kn_handlers kn_handlers;

#endif
