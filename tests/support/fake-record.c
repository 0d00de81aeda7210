// SPDX-License-Identifier: LGPL-2.1-or-later
/* The stand-in for KVM: the record of what came through the door. */
#include "fake-internal.h"
#include "support.h"

#include <string.h>

void fake_record_before(struct fake_kvm *fake, struct fake_call *call, uint32_t nr,
			const uint64_t *arg)
{
	size_t size = 0;

	(void)fake;
	memset(call, 0, sizeof(*call));
	call->nr = nr;
	memcpy(call->arg, arg, sizeof(call->arg));
	if (nr == GMEM_SYS_IOCTL && arg[2])
		size = fake_ioctl_size((uint32_t)arg[1]);
	if (size)
		memcpy(call->data, (const void *)(uintptr_t)arg[2], size);
}

void fake_record_after(struct fake_kvm *fake, struct fake_call *call, int64_t result)
{
	call->result = result;
	fake->calls = support_grow(fake->calls, fake->call_count, &fake->call_room,
				   sizeof(fake->calls[0]));
	fake->calls[fake->call_count++] = *call;
}

size_t fake_kvm_call_count(struct fake_kvm *fake)
{
	size_t count;

	pthread_mutex_lock(&fake->mutex);
	count = fake->call_count;
	pthread_mutex_unlock(&fake->mutex);
	return count;
}

bool fake_kvm_get_call(struct fake_kvm *fake, size_t index, struct fake_call *out)
{
	bool found;

	pthread_mutex_lock(&fake->mutex);
	found = index < fake->call_count;
	if (found)
		*out = fake->calls[index];
	pthread_mutex_unlock(&fake->mutex);
	return found;
}

static bool is_ioctl(const struct fake_call *call, uint32_t request)
{
	return call->nr == GMEM_SYS_IOCTL && (uint32_t)call->arg[1] == request;
}

size_t fake_kvm_count(struct fake_kvm *fake, uint32_t nr)
{
	size_t count = 0, i;

	pthread_mutex_lock(&fake->mutex);
	for (i = 0; i < fake->call_count; i++)
		count += fake->calls[i].nr == nr;
	pthread_mutex_unlock(&fake->mutex);
	return count;
}

size_t fake_kvm_count_ioctl(struct fake_kvm *fake, uint32_t request)
{
	size_t count = 0, i;

	pthread_mutex_lock(&fake->mutex);
	for (i = 0; i < fake->call_count; i++)
		count += is_ioctl(&fake->calls[i], request);
	pthread_mutex_unlock(&fake->mutex);
	return count;
}

bool fake_kvm_get_ioctl(struct fake_kvm *fake, uint32_t request, size_t n, struct fake_call *out)
{
	bool found = false;
	size_t i;

	pthread_mutex_lock(&fake->mutex);
	for (i = 0; i < fake->call_count && !found; i++) {
		if (!is_ioctl(&fake->calls[i], request) || n-- > 0)
			continue;
		*out = fake->calls[i];
		found = true;
	}
	pthread_mutex_unlock(&fake->mutex);
	return found;
}

void fake_kvm_reset_calls(struct fake_kvm *fake)
{
	pthread_mutex_lock(&fake->mutex);
	fake->call_count = 0;
	pthread_mutex_unlock(&fake->mutex);
}
