"""The peer for submissions: FastAPI, asyncpg with a commit a request, then
Celery's send_task, as performance.md section 2 names the baseline."""
import os
import uuid

import asyncpg
from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

celery = Celery(broker=os.environ["BENCH_BROKER"])
app = FastAPI()
pool = None


class NewTask(BaseModel):
    name: str
    task: str
    args: list = []


@app.on_event("startup")
async def start():
    global pool
    pool = await asyncpg.create_pool(os.environ["BENCH_DATABASE"], min_size=4,
                                     max_size=8)
    async with pool.acquire() as c:
        await c.execute("""create table if not exists fastapi_tasks(
            seq bigserial primary key, id text unique, name text, task text,
            args json, status text, created_at timestamptz default now())""")


@app.post("/api/v1/tasks", status_code=201)
async def create(t: NewTask):
    task_id = str(uuid.uuid4())
    async with pool.acquire() as c:
        seq = await c.fetchval(
            """insert into fastapi_tasks(id, name, task, args, status)
               values($1, $2, $3, '[]', 'PENDING') returning seq""",
            task_id, t.name, t.task)
    celery.send_task(t.task, t.args, task_id=task_id)
    return {"id": seq, "task_id": task_id, "status": "PENDING"}
