variable "name" {
  description = "What every resource's name begins with; two installations in one account have different ones."
  type        = string
  default     = "genloop"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "3 to 20 of a-z, 0-9 and -, beginning with a letter: buckets have it in their names."
  }
}

variable "region" {
  type    = string
  default = "eu-central-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Such as eu-central-1."
  }
}

variable "vpc_id" {
  type = string

  validation {
    condition     = can(regex("^vpc-[0-9a-z]+$", var.vpc_id))
    error_message = "Such as vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "Private ones, in two zones or more, with a way out to the registry of images (NAT or endpoints)."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2 && alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "At least two subnets, such as subnet-0123456789abcdef0: a database wants two zones."
  }
}

variable "route_table_ids" {
  description = "Of these subnets: S3 is then reached by a gateway endpoint, which is free, and not through a NAT."
  type        = list(string)
  default     = []
}

variable "image" {
  description = "genloop's image, with a tag or a digest."
  type        = string

  validation {
    condition     = can(regex("^[^\\s:@]+(:[0-9]+/[^\\s:@]+)?(:[\\w.-]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "With a tag other than latest, or a digest, so that what runs is known."
  }
}

variable "gpu_image" {
  description = "The same with CUDA, for the gpu pool; image, if empty."
  type        = string
  default     = ""
}

variable "worker_image" {
  description = "An image with prefect and prefect-aws, for the workers; image, if empty, which must have prefect-aws then."
  type        = string
  default     = ""
}

variable "repository_arns" {
  description = "ECR repositories that the images are pulled from; none where they are public."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.repository_arns : can(regex("^arn:aws[a-z-]*:ecr:.+:repository/.+$", arn))])
    error_message = "Such as arn:aws:ecr:eu-central-1:123456789012:repository/genloop."
  }
}

variable "running" {
  description = "Whether servers and workers run. Not before the secrets have their values, see the README."
  type        = bool
  default     = false
}

variable "protect" {
  description = "Whether buckets with objects and the database survive `terraform destroy`, and secrets can be had back."
  type        = bool
  default     = true
}

variable "batch_prefixes" {
  description = "Each `prefix` of params.yaml's `batches`."
  type        = list(string)
  default     = ["batches"]

  validation {
    condition = length(var.batch_prefixes) > 0 && alltrue([
      for prefix in var.batch_prefixes : can(regex("^[A-Za-z0-9_][A-Za-z0-9_./-]*[A-Za-z0-9_]$", prefix)) && prefix != "index"
    ])
    error_message = "Without a slash at either end, and not index, where the list of batches is."
  }
}

variable "sources" {
  description = "Where the collector may read from; kms_key where a customer's key encrypts it."
  type = list(object({
    bucket  = string
    prefix  = optional(string, "")
    kms_key = optional(string, "")
  }))
  default = []

  validation {
    condition = alltrue([
      for source in var.sources : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", source.bucket)) && !strcontains(source.prefix, "*")
    ])
    error_message = "The names of buckets, and prefixes without *."
  }
}

variable "object_tags" {
  description = "Of every object of a batch: GENLOOP_S3_TAGS."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.object_tags) <= 10
    error_message = "S3 takes ten at most."
  }
}

variable "noncurrent_days" {
  description = "How long old versions of objects are kept; what was erased is gone after that at the latest."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 1 && var.noncurrent_days <= 365
    error_message = "From 1 to 365."
  }
}

variable "log_days" {
  type    = number
  default = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_days)
    error_message = "CloudWatch takes 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "emails" {
  description = "Who is told of alarms; each confirms it by a link first."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@\\s]+@[^@\\s]+$", email))])
    error_message = "Addresses of e-mail."
  }
}

variable "events" {
  description = "Whether the review page takes outcomes of other systems: it then gets GENLOOP_EVENTS_SECRET."
  type        = bool
  default     = false
}

variable "review" {
  description = "The review page: a certificate of ACM for its name, networks that may reach it, and, where it is not internal, public subnets. null: no page."
  type = object({
    certificate_arn = string
    from            = list(string)
    internal        = optional(bool, true)
    subnet_ids      = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.review == null || can(regex("^arn:aws[a-z-]*:acm:.+:certificate/.+$", var.review.certificate_arn))
    error_message = "certificate_arn: such as arn:aws:acm:eu-central-1:123456789012:certificate/…"
  }

  validation {
    condition     = var.review == null || alltrue([for network in try(var.review.from, []) : can(cidrhost(network, 0))])
    error_message = "from: networks such as 10.0.0.0/8."
  }

  validation {
    condition     = var.review == null || try(var.review.internal || length(var.review.subnet_ids) >= 2, false)
    error_message = "subnet_ids: two public subnets at least, where the page is not internal."
  }
}
