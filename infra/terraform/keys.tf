# Three keys, so that a right to one kind of data is no right to another.

locals {
  keys = {
    content   = "batches that are delivered"
    artifacts = "DVC's files and MLflow's artifacts"
    platform  = "database, secrets, workspace and logs"
  }
}

resource "aws_kms_key" "this" {
  for_each                = local.keys
  description             = "${var.name}: ${each.value}"
  enable_key_rotation     = true
  deletion_window_in_days = var.protect ? 30 : 7
  policy                  = data.aws_iam_policy_document.key[each.key].json
}

resource "aws_kms_alias" "this" {
  for_each      = local.keys
  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].id
}

data "aws_iam_policy_document" "key" {
  for_each = local.keys

  statement {
    sid       = "RightsAreGivenByIam"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${local.account}:root"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "platform" ? [1] : []

    content {
      sid       = "LogsOfThisInstallation"
      actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
      resources = ["*"]

      principals {
        type        = "Service"
        identifiers = ["logs.${var.region}.amazonaws.com"]
      }

      condition {
        test     = "ArnLike"
        variable = "kms:EncryptionContext:aws:logs:arn"
        values = [
          "arn:aws:logs:${var.region}:${local.account}:log-group:/${var.name}/*",
          "arn:aws:logs:${var.region}:${local.account}:log-group:/aws/rds/instance/${var.name}/*",
        ]
      }
    }
  }
}
