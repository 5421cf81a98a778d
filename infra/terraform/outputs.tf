output "environment" {
  description = "For genloop elsewhere than in this cluster, such as on a person's machine, whose rights are that person's."
  value       = { for name, value in local.environment : name => value if value != "" }
}

output "work_pools" {
  description = "Job variables of Prefect's work pools."
  value = merge(
    { cpu = merge(local.pool["tasks"], { launch_type = "FARGATE" }) },
    {
      for provider in aws_ecs_capacity_provider.gpu[*].name : "gpu" => merge(local.pool["trainers"], {
        capacity_provider_strategy = [{ capacityProvider = provider, weight = 1, base = 0 }]
      })
    },
  )
}

output "tasks" {
  description = "Job variables of deployments, by role."
  value       = { for role in local.roles : role => { task_definition_arn = aws_ecs_task_definition.task[role].family, container_name = "genloop" } }
}

output "roles" {
  value = { for role, made in aws_iam_role.task : role => made.arn }
}

output "buckets" {
  value = { content = module.content.name, artifacts = module.artifacts.name }
}

output "database" {
  description = "master_secret: where Secrets Manager keeps the owner's password."
  value = {
    address       = aws_db_instance.this.address
    master_secret = one(aws_db_instance.this.master_user_secret[*].secret_arn)
  }
}

output "secrets" {
  description = "To be given values."
  value       = { for name, made in aws_secretsmanager_secret.this : name => made.name }
}

locals {
  pool = {
    for group in ["tasks", "trainers"] : group => {
      cluster = aws_ecs_cluster.this.arn
      vpc_id  = var.vpc_id
      # The tasks have it from there: in a run's own settings everybody who may look at tasks could read it.
      prefect_api_auth_string_secret_arn = aws_secretsmanager_secret.this["prefect-auth"].arn
      network_configuration = {
        subnets        = var.subnet_ids
        securityGroups = [aws_security_group.this[group].id]
        assignPublicIp = "DISABLED"
      }
    }
  }
}
