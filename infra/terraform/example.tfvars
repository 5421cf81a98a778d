region          = "eu-central-1"
vpc_id          = "vpc-0123456789abcdef0"
subnet_ids      = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
route_table_ids = ["rtb-0123456789abcdef0"]

image        = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/genloop:0.1.0"
gpu_image    = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/genloop:0.1.0-cuda"
worker_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/genloop-worker:0.1.0"

repository_arns = [
  "arn:aws:ecr:eu-central-1:123456789012:repository/genloop",
  "arn:aws:ecr:eu-central-1:123456789012:repository/genloop-worker",
]

sources       = [{ bucket = "company-photos", prefix = "products/" }]
emails        = ["platform@example.com"]
money_a_month = 500
