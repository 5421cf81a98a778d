variable "name" {
  type = string
}

variable "key_arn" {
  description = "Of the KMS key that encrypts what is in it."
  type        = string
}

variable "noncurrent_days" {
  type = number
}

variable "protect" {
  description = "Whether it survives `terraform destroy` while there is something in it."
  type        = bool
}

variable "policies" {
  description = "Further statements of its policy, as JSON documents."
  type        = list(string)
  default     = []
}
