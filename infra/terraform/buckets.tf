module "content" {
  source          = "./modules/bucket"
  name            = "${var.name}-content-${local.account}"
  key_arn         = aws_kms_key.this["content"].arn
  noncurrent_days = var.noncurrent_days
  protect         = var.protect
  policies        = [data.aws_iam_policy_document.committed_once.json]
}

module "artifacts" {
  source          = "./modules/bucket"
  name            = "${var.name}-artifacts-${local.account}"
  key_arn         = aws_kms_key.this["artifacts"].arn
  noncurrent_days = var.noncurrent_days
  protect         = var.protect
}

# Whoever publishes can commit a batch, but not write another commit over it, nor over a withdrawal's.
data "aws_iam_policy_document" "committed_once" {
  statement {
    sid       = "CommittedOnce"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = [for prefix in var.batch_prefixes : "arn:aws:s3:::${var.name}-content-${local.account}/${prefix}/*/_COMMITTED.json"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:PrincipalArn"
      values   = [aws_iam_role.task["publisher"].arn]
    }

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }
  }
}
