# Who may speak to whom. Trainers don't reach the database; nothing is reached from outside.

locals {
  groups = {
    tasks    = "tasks of the cpu pool, and the workers"
    trainers = "tasks of the gpu pool"
    servers  = "Prefect's and MLflow's servers"
    database = "PostgreSQL"
    files    = "the workspace"
  }

  ways = {
    prefect-of-tasks    = { to = "servers", from = "tasks", port = 4200 }
    prefect-of-trainers = { to = "servers", from = "trainers", port = 4200 }
    mlflow-of-tasks     = { to = "servers", from = "tasks", port = 5000 }
    mlflow-of-trainers  = { to = "servers", from = "trainers", port = 5000 }
    database-of-tasks   = { to = "database", from = "tasks", port = 5432 }
    database-of-servers = { to = "database", from = "servers", port = 5432 }
    workspace-of-tasks  = { to = "files", from = "tasks", port = 2049 }
  }
}

resource "aws_security_group" "this" {
  for_each    = local.groups
  name        = "${var.name}-${each.key}"
  description = each.value
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each                     = local.ways
  security_group_id            = aws_security_group.this[each.value.to].id
  referenced_security_group_id = aws_security_group.this[each.value.from].id
  from_port                    = each.value.port
  to_port                      = each.value.port
  ip_protocol                  = "tcp"
  description                  = each.key
}

resource "aws_vpc_security_group_egress_rule" "out" {
  for_each          = toset(["tasks", "trainers", "servers"])
  security_group_id = aws_security_group.this[each.key].id
  cidr_ipv4         = "0.0.0.0/0" # sources, S3, the registry of images
  ip_protocol       = "-1"
}

resource "aws_vpc_endpoint" "s3" {
  count           = length(var.route_table_ids) > 0 ? 1 : 0
  vpc_id          = var.vpc_id
  service_name    = "com.amazonaws.${var.region}.s3"
  route_table_ids = var.route_table_ids
}

# Names that the servers have within the network, such as mlflow.genloop.internal.
resource "aws_service_discovery_private_dns_namespace" "this" {
  name = "${var.name}.internal"
  vpc  = var.vpc_id
}
