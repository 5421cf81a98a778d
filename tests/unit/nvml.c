/* NVIDIA's library as far as it is asked, for a machine with two GPUs of which the second is a part of one. */
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Rates;
static int devices[2];
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = &devices[index]; return 0; }
int nvmlDeviceGetMemoryInfo(void *device, Memory *memory) { memory->total = 1000; memory->used = 250; return 0; }
int nvmlDeviceGetUtilizationRates(void *device, Rates *rates) {
  rates->gpu = 75;
  return device == &devices[0] ? 0 : 3; /* NVML_ERROR_NOT_SUPPORTED */
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) { *milliwatts = 350000; return 0; }
