/** The orchestrator's face of gRPC: `flotilla.v1.CoordinatorService` of proto/. */
import type { GrpcFace } from '#runtime/service.ts';

import type { Orchestrator } from './orchestrator.ts';
import { getOrchestratorStats, listTaskEvents } from './tools/events.ts';
import { recordConflict, recordMerge } from './tools/merges.ts';
import {
  cancelProject,
  createProject,
  deleteProject,
  getProject,
  listProjects,
  listProjectTemplates,
  planProject,
  updateProject,
} from './tools/projects.ts';
import {
  answerQuestion,
  cancelTask,
  createTasks,
  getTask,
  listTasks,
  retryTask,
  updateTask,
} from './tools/tasks.ts';
import {
  askQuestion,
  claimTasks,
  completeTask,
  failTask,
  releaseTask,
  renewLease,
  startTask,
} from './tools/work.ts';
import { listWorkers, registerWorker, removeWorker } from './tools/workers.ts';
import { workStream } from './work-stream.ts';

export const coordinator: GrpcFace<Orchestrator> = {
  service: 'flotilla.v1.CoordinatorService',
  protos: new URL('../../proto/flotilla.json', import.meta.url),
  methods: {
    CreateProject: createProject,
    PlanProject: planProject,
    GetProject: getProject,
    ListProjects: listProjects,
    UpdateProject: updateProject,
    CancelProject: cancelProject,
    DeleteProject: deleteProject,
    ListProjectTemplates: listProjectTemplates,
    CreateTasks: createTasks,
    GetTask: getTask,
    ListTasks: listTasks,
    UpdateTask: updateTask,
    CancelTask: cancelTask,
    RetryTask: retryTask,
    AnswerQuestion: answerQuestion,
    RegisterWorker: registerWorker,
    ListWorkers: listWorkers,
    RemoveWorker: removeWorker,
    ClaimTasks: claimTasks,
    StartTask: startTask,
    RenewLease: renewLease,
    CompleteTask: completeTask,
    FailTask: failTask,
    ReleaseTask: releaseTask,
    AskQuestion: askQuestion,
    RecordMerge: recordMerge,
    RecordConflict: recordConflict,
    ListTaskEvents: listTaskEvents,
    GetOrchestratorStats: getOrchestratorStats,
    WatchEvents: 'listened',
    Work: workStream,
  },
};
