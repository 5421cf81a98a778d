resource "aws_cloudwatch_log_group" "task" {
  for_each          = toset(concat(local.roles, local.servers))
  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.this["platform"].arn
}

resource "aws_cloudwatch_log_group" "database" {
  name              = "/aws/rds/instance/${var.name}/postgresql"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.this["platform"].arn
}
