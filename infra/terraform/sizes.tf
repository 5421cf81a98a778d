# Variables of what is paid for.

variable "database" {
  description = "gigabytes: to begin with, and the most that it grows to by itself."
  type = object({
    class       = optional(string, "db.t4g.medium")
    gigabytes   = optional(list(number), [20, 200])
    zones       = optional(number, 1)
    backup_days = optional(number, 14)
  })
  default = {}

  validation {
    condition     = startswith(var.database.class, "db.") && contains([1, 2], var.database.zones)
    error_message = "A class such as db.t4g.medium, in 1 or 2 zones."
  }

  validation {
    condition = (
      length(var.database.gigabytes) == 2 && var.database.gigabytes[0] >= 20 && var.database.gigabytes[1] > var.database.gigabytes[0]
    )
    error_message = "gigabytes: two numbers, 20 or more, the second one greater."
  }

  validation {
    condition     = var.database.backup_days >= 1 && var.database.backup_days <= 35
    error_message = "backup_days: from 1 to 35."
  }
}

variable "cpu_task" {
  description = "A task of the cpu pool, as Fargate takes it: units of 1/1024 of a core, and MiB."
  type        = object({ cpu = optional(number, 2048), memory = optional(number, 8192), disk_gib = optional(number, 50) })
  default     = {}

  validation {
    condition = (
      contains([1024, 2048, 4096, 8192, 16384], var.cpu_task.cpu)
      && var.cpu_task.memory >= 2 * var.cpu_task.cpu && var.cpu_task.memory <= 8 * var.cpu_task.cpu
      && var.cpu_task.disk_gib >= 21 && var.cpu_task.disk_gib <= 200
    )
    error_message = "1024 to 16384 units, 2 to 8 MiB for each of them, and 21 to 200 GiB of disk."
  }
}

variable "gpu" {
  description = "Machines of the gpu pool; cpu, memory and gpus of a task should fill one. most: of machines at once, 0 for no pool."
  type = object({
    type     = optional(string, "g5.xlarge")
    most     = optional(number, 1)
    spot     = optional(bool, false)
    disk_gib = optional(number, 200)
    gpus     = optional(number, 1)
    cpu      = optional(number, 3584)
    memory   = optional(number, 14000)
  })
  default = {}

  validation {
    condition     = can(regex("^(g|p)[0-9][a-z0-9-]*\\.[0-9]*x?large$", var.gpu.type)) && var.gpu.most >= 0 && var.gpu.most <= 1000
    error_message = "A type with GPUs, such as g5.xlarge, and 0 to 1000 of them."
  }

  validation {
    condition     = var.gpu.gpus >= 1 && var.gpu.cpu >= 1024 && var.gpu.memory >= 2048 && var.gpu.disk_gib >= 60
    error_message = "At least one GPU, 1024 units, 2048 MiB and 60 GiB."
  }
}

variable "money_a_month" {
  description = "In USD: above 80% of it, and where it is foreseen to be passed, a message is sent. 0 for no budget."
  type        = number
  default     = 500

  validation {
    condition     = var.money_a_month >= 0
    error_message = "Not less than 0."
  }
}
