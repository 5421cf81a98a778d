# One PostgreSQL for MLflow, Prefect and feedback, a database and a user each: databases.sql makes them.

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name   = var.name
  family = "postgres17"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000" # ms
  }
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = "17"
  instance_class = var.database.class

  storage_type          = "gp3"
  allocated_storage     = var.database.gigabytes[0]
  max_allocated_storage = var.database.gigabytes[1]
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.this["platform"].arn

  username                      = "owner"
  manage_master_user_password   = true # made, kept and changed by Secrets Manager: it is not in the state
  master_user_secret_kms_key_id = aws_kms_key.this["platform"].key_id

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this["database"].id]
  parameter_group_name   = aws_db_parameter_group.this.name
  publicly_accessible    = false
  multi_az               = var.database.zones == 2

  backup_retention_period    = var.database.backup_days
  copy_tags_to_snapshot      = true
  auto_minor_version_upgrade = true
  deletion_protection        = var.protect
  skip_final_snapshot        = !var.protect
  final_snapshot_identifier  = "${var.name}-last"
  delete_automated_backups   = !var.protect

  enabled_cloudwatch_logs_exports = ["postgresql"]
  depends_on                      = [aws_cloudwatch_log_group.database] # RDS would make one that keeps all for ever
}
