"""What happens in chats: webhooks in, triggers, platform adapters, and an emulated platform."""
