# What each role does on S3, as the code calls it. Listing is of whole buckets: S3Store.check and DVC ask without a
# prefix. `data forget` and `clean` reach everything, so they are nobody's but the steward's.

locals {
  read  = ["s3:GetObject"]
  write = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
  list  = ["s3:ListBucket", "s3:GetBucketLocation"]
  tags  = length(var.object_tags) > 0 ? ["s3:PutObjectTagging"] : []

  key_read  = ["kms:Decrypt"]
  key_write = ["kms:Decrypt", "kms:GenerateDataKey"] # a write in parts decrypts too

  dvc     = "${module.artifacts.arn}/dvc/*"
  mlflow  = "${module.artifacts.arn}/mlflow/*"
  index   = "${module.content.arn}/index/*"
  batches = [for prefix in var.batch_prefixes : "${module.content.arn}/${prefix}/*"]

  # Of a batch, where its images are, and what is known of each: pipeline/generate/withdraw.py
  parts          = ["data", "images", "gallery", "atlas", "sheet", "catalogue", "items"]
  parts_of       = [for pair in setproduct(local.batches, local.parts) : "${pair[0]}/${pair[1]}/*"]
  dropped_of     = [for batch in local.batches : "${batch}/dropped/*"]
  commits_of     = [for batch in local.batches : "${batch}/_COMMITTED.json"]
  manifests_of   = [for batch in local.batches : "${batch}/manifest.json"]
  items_of       = [for batch in local.batches : "${batch}/items/*"]
  notices_of     = [for batch in local.batches : "${batch}/notices/*"]
  withdrawals_of = [for batch in local.batches : "${batch}/withdrawn.json"]
}

# Collects from the sources, versions them with DVC, and knows its own images by the lists of items, without the images.
data "aws_iam_policy_document" "collector" {
  statement {
    sid       = "Versions"
    actions   = concat(local.read, local.write)
    resources = [local.dvc]
  }

  statement {
    sid       = "ListsOfItems"
    actions   = local.read
    resources = concat([local.index], local.commits_of, local.manifests_of, local.items_of)
  }

  statement {
    sid       = "List"
    actions   = local.list
    resources = concat([module.artifacts.arn, module.content.arn], [for source in var.sources : "arn:aws:s3:::${source.bucket}"])
  }

  statement {
    sid       = "KeyOfVersions"
    actions   = local.key_write
    resources = [aws_kms_key.this["artifacts"].arn]
  }

  statement {
    sid       = "KeysOfWhatIsRead"
    actions   = local.key_read
    resources = concat([aws_kms_key.this["content"].arn], [for source in var.sources : source.kms_key if source.kms_key != ""])
  }

  dynamic "statement" {
    for_each = length(var.sources) > 0 ? [1] : []

    content {
      sid       = "Sources"
      actions   = local.read
      resources = [for source in var.sources : "arn:aws:s3:::${source.bucket}/${source.prefix}*"]
    }
  }
}

# Reads snapshots, and keeps models, curves and pictures. What it is to learn of reviews comes to it through DVC.
data "aws_iam_policy_document" "trainer" {
  statement {
    sid       = "Snapshots"
    actions   = local.read
    resources = [local.dvc]
  }

  statement {
    sid       = "Models"
    actions   = concat(local.read, local.write)
    resources = [local.mlflow]
  }

  statement {
    sid       = "List"
    actions   = local.list
    resources = [module.artifacts.arn]
  }

  statement {
    sid       = "Key"
    actions   = local.key_write
    resources = [aws_kms_key.this["artifacts"].arn]
  }
}

# Writes batches and reads them back; deletes only what two makers of a part made twice. Learns what people like.
data "aws_iam_policy_document" "publisher" {
  statement {
    sid       = "Batches"
    actions   = concat(local.read, local.write, local.tags)
    resources = concat([local.index], local.batches)
  }

  statement {
    sid       = "NoWithdrawals"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = concat(local.withdrawals_of, local.notices_of)
  }

  statement {
    sid       = "MadeTwice"
    actions   = ["s3:DeleteObject"]
    resources = concat(local.parts_of, local.dropped_of)
  }

  statement {
    sid       = "Models"
    actions   = local.read
    resources = [local.mlflow]
  }

  statement {
    sid       = "Preferences"
    actions   = local.write
    resources = ["${local.mlflow}/artifacts/preference/*"]
  }

  statement {
    sid       = "List"
    actions   = local.list
    resources = [module.artifacts.arn, module.content.arn]
  }

  statement {
    sid       = "Keys"
    actions   = local.key_write
    resources = [aws_kms_key.this["artifacts"].arn, aws_kms_key.this["content"].arn]
  }
}

# Shows batches, and withdraws items and batches: commit and images go, what tells of them is written anew and stays.
data "aws_iam_policy_document" "reviewer" {
  statement {
    sid       = "Batches"
    actions   = local.read
    resources = concat([local.index], local.batches)
  }

  statement {
    sid       = "WriteWithdrawals"
    actions   = concat(local.write, local.tags)
    resources = local.batches
  }

  statement {
    sid       = "Withdraw"
    actions   = ["s3:DeleteObject"]
    resources = concat(local.commits_of, local.parts_of)
  }

  statement {
    sid       = "List"
    actions   = local.list
    resources = [module.content.arn]
  }

  statement {
    sid       = "Key"
    actions   = local.key_write
    resources = [aws_kms_key.this["content"].arn]
  }
}

# `data forget` and `clean`: old versions too, or what was erased would still be there.
data "aws_iam_policy_document" "steward" {
  statement {
    sid       = "Erase"
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = concat([local.dvc, local.mlflow, local.index], local.batches)
  }

  statement {
    sid       = "Read"
    actions   = concat(local.read, ["s3:GetObjectVersion"])
    resources = concat([local.dvc, local.mlflow, local.index], local.batches)
  }

  statement {
    sid       = "WriteWhatIsLeft"
    actions   = concat(local.write, local.tags)
    resources = concat([local.dvc], local.notices_of)
  }

  statement {
    sid       = "List"
    actions   = concat(local.list, ["s3:ListBucketVersions"])
    resources = [module.artifacts.arn, module.content.arn]
  }

  statement {
    sid       = "Keys"
    actions   = local.key_write
    resources = [aws_kms_key.this["artifacts"].arn, aws_kms_key.this["content"].arn]
  }
}

# Shows artifacts; clients write them themselves.
data "aws_iam_policy_document" "mlflow" {
  statement {
    sid       = "Show"
    actions   = local.read
    resources = [local.mlflow]
  }

  statement {
    sid       = "List"
    actions   = local.list
    resources = [module.artifacts.arn]
  }

  statement {
    sid       = "Key"
    actions   = local.key_read
    resources = [aws_kms_key.this["artifacts"].arn]
  }
}
